# T6: nothing that a session leaves makes a program act later, unseen.
{
  name = "t6-persistence";
  parts = [
    {
      program = "battery_l2";
      only = [ "no_attack_of_t6" ];
    }
    { program = "direct_end"; }
    { program = "escapes_in_output"; }
  ];
}
