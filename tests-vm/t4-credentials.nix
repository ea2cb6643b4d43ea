# T4: no credential is there that was not granted.
{
  name = "t4-credentials";
  parts = [
    {
      program = "battery_l2";
      only = [ "no_attack_of_t4" ];
    }
    { program = "secrets"; }
  ];
}
