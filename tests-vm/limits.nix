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
      program = "bounds";
      service = true;
    }
  ];
}
