# T2: no attack on the network works from L2, in any mode.
{
  name = "t2-exfiltration";
  parts = [
    {
      program = "battery_l2";
      only = [ "no_attack_of_t2" ];
    }
    {
      program = "battery_network";
      only = [ "works_inside_l2" ];
    }
  ];
}
