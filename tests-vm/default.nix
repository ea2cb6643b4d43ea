# What is tested on NixOS: one promise a line. Each but the last runs parts of the suite that run on Debian as well
# (`cargo xtask nix` compares); what of the suite does not run here, and why, is in xtask/src/nix/twins.rs.
#
# Written and evaluated on Debian, where no NixOS boots: `nix flake check` on a machine with Nix and KVM runs them.
{
  pkgs,
  # The NixOS module, the package, and the suite's programs.
  module,
  agentbox,
  suite,
}:
let
  run =
    test:
    pkgs.testers.runNixOSTest {
      imports = [
        test
        ./fixtures/parts.nix
      ];
      _module.args = { inherit suite; };
      defaults = {
        imports = [
          module
          ./fixtures/machine.nix
        ];
        services.agentbox.package = agentbox;
      };
    };
  refused = import ./fixtures/refused.nix { inherit pkgs agentbox module; };
in
{
  # What a session is.
  starts-a-session = run ./starts-a-session.nix;
  posture-matrix = run ./posture-matrix.nix;
  terminal = run ./terminal.nix;
  profiles-apart = run ./profiles-apart.nix;
  limits = run ./limits.nix;

  # The threats of docs/THREAT-MODEL.md.
  t1-host-files = run ./t1-host-files.nix;
  t2-exfiltration = run ./t2-exfiltration.nix;
  t3-supply-chain = run ./t3-supply-chain.nix;
  t4-credentials = run ./t4-credentials.nix;
  t5-lateral-movement = run ./t5-lateral-movement.nix;
  t6-persistence = run ./t6-persistence.nix;
  t7-privilege = run ./t7-privilege.nix;
  t8-other-sessions = run ./t8-other-sessions.nix;
  verify = run ./verify.nix;

  # Its network.
  allowlist-survives-rotating-addresses = run ./allowlist-survives-rotating-addresses.nix;
  ipv6-equal = run ./ipv6-equal.nix;
  internal-ranges-blocked = run ./internal-ranges-blocked.nix;
  rebinding = run ./rebinding.nix;
  connections-stay-whole = run ./connections-stay-whole.nix;
  hostile-network = run ./hostile-network.nix;
  beside-others = run ./beside-others.nix;
  ssh-agent = run ./ssh-agent.nix;

  # Its project.
  overlay-review = run ./overlay-review.nix;
  direct-guard = run ./direct-guard.nix;

  # The service.
  the-bus = run ./the-bus.nix;
  two-users = run ./two-users.nix;
  audit-chain = run ./audit-chain.nix;
  crash-at-every-step = run ./crash-at-every-step.nix;
  service-crash-at-every-step = run ./service-crash-at-every-step.nix;
  reboot = run ./reboot.nix;
  upgrade = run ./upgrade.nix;

  # `nix run .#demo`.
  demonstration = run ./demonstration.nix;

  # Not run where this was written: there was no NixOS. Only here, because
  # nothing else switches a system under a session:
  switch-keeps-sessions = run ./switch-keeps-sessions.nix;
  # only Nix builds a system from a policy:
  bad-policy-refused-at-build = refused (import ./bad-policy-refused-at-build.nix);
  # these rules are NixOS' own:
  firewall-backends = run ./firewall-backends.nix;
  # Docker is not installed for tests elsewhere:
  docker-coexists = run ./docker-coexists.nix;
  # only NixOS answers every name over nscd's socket:
  nscd-does-not-leak = run ./nscd-does-not-leak.nix;
  # only Nix gives several hosts one policy:
  fleet-two-hosts = run ./fleet-two-hosts.nix;
}
