# The same of the service.
{
  name = "service-crash-at-every-step";
  parts = [
    {
      program = "rig_service";
      only = [ "nothing_is_left_when_the_service_is_killed_at_any_step" ];
      service = true;
    }
  ];
}
