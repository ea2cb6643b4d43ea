# T7: no attack on the kernel's surface works.
{
  name = "t7-privilege";
  parts = [
    {
      program = "battery_l2";
      only = [ "no_attack_of_t7" ];
    }
  ];
}
