# Two people share a machine and none of their sessions.
{
  name = "two-users";
  parts = [
    {
      program = "rig_consent";
      service = true;
    }
    {
      program = "rig_service";
      only = [
        "strangers_and_sessions_are_refused"
        "a_list_is_answered"
      ];
      service = true;
    }
    {
      program = "lifecycle";
      only = [
        "a_person_uses_the_supervisor"
        "the_client_cannot_be_looked_into"
      ];
    }
    {
      program = "strangers";
    }
  ];
}
