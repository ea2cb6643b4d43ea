# A configuration with types that are right and a policy that is not: the system is not built.
{
  name = "bad-policy-refused-at-build";
  accepted.services.agentbox = {
    enable = true;
    postures.strict.extends = "L2";
  };
  refused.services.agentbox = {
    enable = true;
    postures.strict.extends = "nosuch";
  };
  message = "posture.strict.extends: there is no posture `nosuch`";
}
