# Servers, resolvers and clients that misbehave harm only who talks to them.
{
  name = "hostile-network";
  parts = [
    {
      program = "net_hostile";
      only = [
        "misbehave"
        "never_go_on"
        "ten_thousand"
        "no_label"
        "when_and_how_often"
      ];
    }
  ];
}
