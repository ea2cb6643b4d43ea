# What one profile keeps no other has.
{
  name = "profiles-apart";
  parts = [
    { program = "login"; }
    { program = "profiles"; }
    { program = "settings"; }
  ];
}
