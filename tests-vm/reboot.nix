# What is kept on disk outlives a reboot, and sessions do not.
let
  half = boot: {
    program = "rig_reboot";
    service = true;
    environment.AGENTBOX_BOOT = boot;
  };
in
{
  name = "reboot";
  parts = [
    (half "first")
    (half "second" // { afterReboot = true; })
  ];
}
