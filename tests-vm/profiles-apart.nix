# What one profile keeps no other has.
{
  name = "profiles-apart";
  parts = [
    { program = "profiles"; }
    { program = "settings"; }
  ];
}
