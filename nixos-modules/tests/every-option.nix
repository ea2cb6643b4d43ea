# Every option with a value, so that each value decides somewhere: four projects, of which one is held by the floor,
# one by a posture, one by a profile and one by its own entry. The container of the tests boots with what this renders,
# and `explain` is asked there for each value (`rig_rendered`).
{ pkgs, ... }:
{
  users.users.ada.isNormalUser = true;
  users.users.grace.isNormalUser = true;

  services.agentbox = {
    enable = true;
    package = pkgs.agentbox;
    kernelGuard = true;
    users = [
      "ada"
      "grace"
    ];
    defaultPosture = "bounded";
    uidRange = {
      first = 2001000000;
      count = 100000000;
    };
    network.upstreamResolvers = [ "9.9.9.9" ];

    floor = {
      isolation = "sandbox";
      filesystem = "listed";
      identity = "leased";
      network = "public";
      workspace = "overlay";
      state = "project";
      guard = "auto";
      on_gate_loss = "repair";
      on_trigger = "report";
      on_shared_files = "warn";
      trifecta = "confirm";
      tasks_max = 4000;
      open_files = 500000;
      memory_max = "64G";
      tmp_size = "1000M";
      home_size = "1000M";
      cpu_weight = 900;
      io_weight = 900;
      disk_free_min = "1M";
      upload_max = "900G";
      name_upload_max = "800G";
      runtime_max = "300d";
      idle_stop = "200d";
    };

    ceiling = {
      read = [ "~" ];
      write = [ "~/.cache" ];
      env = [
        "LANG"
        "ANTHROPIC_API_KEY"
      ];
      allow = [ "@npm" ];
      internal = [ "intranet.example" ];
      publish = [
        3000
        "4000-5000"
      ];
      ssh_agent = {
        hosts = [ "github.com" ];
        sign = [ "git" ];
        confirm = true;
      };
    };

    postures.bounded = {
      extends = "L2";
      isolation = "sandbox";
      filesystem = "listed";
      identity = "leased";
      network = "allowlist";
      workspace = "readonly";
      state = "ephemeral";
      guard = "auto";
      on_gate_loss = "stop";
      on_trigger = "freeze";
      on_shared_files = "refuse";
      trifecta = "refuse";
      tasks_max = 2000;
      open_files = 2000;
      memory_max = "8G";
      tmp_size = "100M";
      home_size = "100M";
      cpu_weight = 100;
      io_weight = 100;
      disk_free_min = "2M";
      upload_max = "90G";
      name_upload_max = "80G";
      runtime_max = "30d";
      idle_stop = "20d";
    };

    # What it leaves open others decide.
    postures.open = {
      extends = "L2";
      workspace = "direct";
      state = "profile";
      guard = "off";
      on_trigger = "report";
    };

    profiles.everything = {
      agent = "claude";
      network = "allowlist";
      workspace = "readonly";
      state = "ephemeral";
      guard = "require";
      on_gate_loss = "stop";
      on_trigger = "freeze";
      on_shared_files = "refuse";
      trifecta = "refuse";
      upload_max = "9G";
      name_upload_max = "8G";
      private = false;
      read = [ "~/reference" ];
      write = [ "~/shared" ];
      git_dirs = [ "~/held-by-the-profile.git" ];
      mask = [ "*.profile-secret" ];
      unmask = [ "*.profile-open" ];
      allow = [
        "@npm"
        "github.com:22"
      ];
      deny = [ "@telemetry" ];
      internal = [ "intranet.example" ];
      publish = [
        3000
        "3001:8080"
      ];
      persist = [ "claude:history" ];
      instructions = "~/instructions.md";
      mcp = "~/mcp.json";
      settings = "~/settings.json";
      skills = [ "~/skills/review" ];
      git = {
        name = "Ada Lovelace";
        email = "ada@work.example";
      };
      ssh_agent = {
        keys = [ "SHA256:0000000000000000000000000000000000000000000" ];
        hosts = [ "github.com" ];
        sign = [ "git" ];
        confirm = true;
      };
      env = {
        pass = [ "PASSED" ];
        set.CI = "1";
        NPM_TOKEN = {
          file = "/etc/agentbox/npm";
          as = "file";
        };
        GITHUB_TOKEN = {
          file = "/etc/agentbox/github";
          git = "github.com";
        };
      };
    };
    profiles.nothing.agent = "shell";

    projects = {
      held-by-the-floor = {
        path = "/home/ada/held-by-the-floor";
        posture = "L0";
        profile = "nothing";
      };
      held-by-the-posture.path = "/home/ada/held-by-the-posture";
      held-by-the-profile = {
        path = "/home/ada/held-by-the-profile";
        posture = "open";
        profile = "everything";
      };
      held-by-itself = {
        path = "/home/ada/held-by-itself";
        posture = "open";
        profile = "nothing";
        agent = "shell";
        network = "allowlist";
        workspace = "readonly";
        state = "ephemeral";
        guard = "require";
        on_gate_loss = "stop";
        on_trigger = "freeze";
        on_shared_files = "refuse";
        trifecta = "refuse";
        tasks_max = 1000;
        memory_max = "1G";
        cpu_weight = 10;
        io_weight = 10;
        disk_free_min = "3M";
        upload_max = "900M";
        name_upload_max = "800M";
        runtime_max = "3d";
        idle_stop = "2d";
        private = true;
        read = [ "~/reference" ];
        write = [ "~/shared" ];
        git_dirs = [ "~/held-by-itself.git" ];
        mask = [ "*.project-secret" ];
        unmask = [ "*.project-open" ];
        allow = [ "crates.io" ];
        deny = [ "example.org" ];
        internal = [ "git.internal.example" ];
        publish = [ 3002 ];
      };
    };
  };
}
