# Only chosen keys sign, for hosts that prove themselves.
{
  name = "ssh-agent";
  parts = [
    { program = "ssh_agent"; }
    {
      program = "net_ssh_agent";
      only = [
        "nothing_is_signed_for_another_host"
        "hosts_prove"
        "forwarded"
      ];
    }
  ];
}
