# A name that turns internal is refused from then on, and no resolver that lies is believed.
{
  name = "rebinding";
  parts = [
    {
      program = "net_hostile";
      only = [
        "turns_internal"
        "leads_to_an_internal_address"
        "calls_internal"
        "is_not_believed"
        "never_has_the_id"
      ];
    }
  ];
}
