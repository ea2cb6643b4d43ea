# A person types `agentboxctl start`: a session runs in a scope of its own, and its streams, status and home are as
# without one.
{
  name = "starts-a-session";
  parts = [
    {
      program = "rig_service";
      only = [
        "a_person_starts_a_session_in_a_scope_of_its_own"
        "the_service_starts_when_it_is_asked"
      ];
      service = true;
    }
    {
      program = "lifecycle";
      only = [
        "a_session"
        "exec_runs"
        "a_second_program"
        "status_names"
        "stop_ends"
        "explain_starts"
      ];
    }
    { program = "streams"; }
    { program = "home_and_env"; }
  ];
}
