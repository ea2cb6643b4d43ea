# T5: no internal network, no host and no neighbour is reached from L1 either.
{
  name = "t5-lateral-movement";
  parts = [
    {
      program = "battery_network";
      only = [ "works_inside_l1" ];
    }
  ];
}
