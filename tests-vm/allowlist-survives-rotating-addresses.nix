# A name that is allowed stays reachable whatever its addresses are.
{
  name = "allowlist-survives-rotating-addresses";
  parts = [
    {
      program = "net_hostile";
      only = [
        "a_name_whose_addresses_change_all_the_time_never_fails"
        "a_shared_address_serves_no_name"
      ];
    }
  ];
}
