# Configurations that are refused, each with a part of its message.
{ ... }:
let
  with' = settings: {
    services.agentbox = {
      enable = true;
    }
    // settings;
  };
in
{
  an-option-that-is-not-there = {
    config = with' { profiles.work.netwrok = "none"; };
    message = "services.agentbox.profiles.work.netwrok' does not exist";
  };
  a-word-that-is-none-of-the-known = {
    config = with' { profiles.work.network = "open"; };
    message = "services.agentbox.profiles.work.network' is not of type";
  };
  a-size-that-is-none = {
    config = with' {
      projects.a = {
        path = "/srv/a";
        memory_max = "lots";
      };
    };
    message = "services.agentbox.projects.a.memory_max' is not of type";
  };
  a-number-that-is-too-small = {
    config = with' { floor.tasks_max = 1; };
    message = "services.agentbox.floor.tasks_max' is not of type";
  };
  a-user-that-nobody-is = {
    config = with' { users = [ "nobody-here" ]; };
    message = "services.agentbox.users: `nobody-here` is no user of users.users";
  };
  a-profile-that-is-not-declared = {
    config = with' {
      projects.a = {
        path = "/srv/a";
        profile = "work";
      };
    };
    message = "services.agentbox.projects.a.profile: there is no services.agentbox.profiles.work";
  };
  a-key-that-is-set-twice = {
    config = with' {
      floor.isolation = "sandbox";
      settings.floor.network = "none";
    };
    message = "services.agentbox.settings: `floor` is also set by services.agentbox.floor";
  };
  names-that-the-module-writes = {
    config = with' { settings.said_as.profile = "x"; };
    message = "services.agentbox.settings.said_as: it is written by the module";
  };
}
