{
  imports = [ ./agentbox.nix ];
}
