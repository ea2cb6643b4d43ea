# Another supervisor takes over what runs: sessions, published ports, attached clients.
{
  name = "upgrade";
  parts = [
    {
      program = "rig_restart";
      service = true;
    }
    {
      program = "rig_service";
      only = [ "sessions_survive" ];
      service = true;
    }
  ];
}
