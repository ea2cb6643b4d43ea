# Killed at any step, supervisor and client leave nothing; gates are replaced.
{
  name = "crash-at-every-step";
  parts = [
    { program = "crash"; }
    { program = "net_crash"; }
  ];
}
