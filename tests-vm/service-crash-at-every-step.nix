# The same of the service, of the bus and of the journal.
{
  name = "service-crash-at-every-step";
  parts = [
    {
      program = "rig_crash";
      service = true;
    }
    {
      program = "rig_service";
      only = [ "nothing_is_left_when_the_service_is_killed_at_any_step" ];
      service = true;
    }
  ];
}
