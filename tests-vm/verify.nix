# What a person is shown of their own machine: every attack, outside and in a session.
{
  name = "verify";
  parts = [ { program = "verify"; } ];
}
