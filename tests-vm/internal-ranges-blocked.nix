# No internal address is reached, by its address or by a name; those beside the ranges are.
{
  name = "internal-ranges-blocked";
  parts = [
    { program = "net_internal"; }
  ];
}
