# T1: no attack on files of the host works, and each works outside.
{
  name = "t1-host-files";
  parts = [
    {
      program = "battery_l2";
      only = [
        "every_attack_works"
        "no_attack_of_t1"
      ];
    }
    { program = "hostile_project"; }
  ];
}
