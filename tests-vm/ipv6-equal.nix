# IPv6 is reached and refused as IPv4 is, and a host of one family gives sessions that one.
{
  name = "ipv6-equal";
  parts = [
    {
      program = "net_work";
      only = [
        "over_both_families"
        "public_addresses"
      ];
    }
    {
      program = "net_coexist";
      only = [
        "a_host_of_one_family"
        "behind_a_translator"
        "another_network_is_asked"
      ];
    }
  ];
}
