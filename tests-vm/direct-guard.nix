# Trigger files are refused by the kernel where it has BPF LSM, and watched where not.
{
  name = "direct-guard";
  nodes.machine.services.agentbox.kernelGuard = true;
  nodes.watched = { };
  parts = [
    {
      program = "battery_triggers";
      environment.AGENTBOX_TEST_GUARD = "1";
    }
    {
      program = "direct_full";
      node = "watched";
    }
    {
      program = "guard";
      environment.AGENTBOX_TEST_GUARD = "1";
    }
    {
      program = "direct_git";
      node = "watched";
    }
    {
      program = "direct_watch";
      node = "watched";
    }
    {
      program = "direct_worktree";
      node = "watched";
    }
  ];
}
