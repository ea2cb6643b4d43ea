# T8: sessions do not reach each other.
{
  name = "t8-other-sessions";
  parts = [
    {
      program = "battery_l2";
      only = [ "no_attack_of_t8" ];
    }
    { program = "two_sessions"; }
  ];
}
