# Bombs meet their limits, with all controllers; a session ends when its time is over.
{
  name = "limits";
  parts = [
    {
      program = "lifecycle";
      only = [
        "a_fork_bomb"
        "bombs_meet"
      ];
    }
    {
      program = "rig_limits";
      service = true;
      environment.AGENTBOX_TEST_LIMITS = "1";
    }
    {
      program = "bounds";
      service = true;
    }
  ];
}
