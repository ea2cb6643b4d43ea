# Firewalls, tunnels, proxies and resolvers of the host stay as they are and are no obstacle.
{
  name = "beside-others";
  parts = [
    {
      program = "net_coexist";
      only = [
        "firewall"
        "tunnel"
        "proxy"
        "resolver"
        "default_route"
        "whoever_manages"
        "forward_chain"
      ];
    }
  ];
}
