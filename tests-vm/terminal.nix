# The terminal is the caller's, and nothing that would command it comes through.
{
  name = "terminal";
  parts = [
    { program = "terminal"; }
  ];
}
