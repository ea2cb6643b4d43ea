# Configurations that are accepted; what each renders passes `agentboxctl check`.
{ ... }:
let
  ada.users.users.ada = {
    isNormalUser = true;
  };
in
{
  off = { };

  smallest = {
    services.agentbox.enable = true;
  };

  one-developer = ada // {
    services.agentbox = {
      enable = true;
      users = [ "ada" ];
      profiles.work = {
        network = "allowlist";
        allow = [
          "api.anthropic.com"
          "github.com:22"
          "@npm"
        ];
        git = {
          name = "Ada Lovelace";
          email = "ada@work.example";
        };
        env.set.CI = "1";
      };
      projects.website = {
        path = "/srv/website";
        profile = "work";
        memory_max = "8G";
      };
    };
  };

  lists-that-are-empty-stay = {
    services.agentbox = {
      enable = true;
      ceiling = {
        read = [ ];
        publish = [
          3000
          "4000-5000"
        ];
      };
    };
  };

  keys-as-in-the-file = {
    services.agentbox = {
      enable = true;
      settings.floor.isolation = "sandbox";
    };
  };

  names-of-options-and-keys-differ = {
    services.agentbox = {
      enable = true;
      defaultPosture = "paranoid";
      postures.paranoid = {
        extends = "L2";
        network = "none";
        tasks_max = 512;
      };
      network.upstreamResolvers = [ "9.9.9.9" ];
      uidRange.first = 2001000000;
      kernelGuard = false;
    };
  };
}
