# T3: what a project brings runs inside or not at all.
{
  name = "t3-supply-chain";
  parts = [
    { program = "trifecta"; }
    { program = "hostile_config"; }
    { program = "direct_secrets"; }
  ];
}
