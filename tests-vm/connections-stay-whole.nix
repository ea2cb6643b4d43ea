# What goes through a gate arrives as it was sent, however long it takes.
{
  name = "connections-stay-whole";
  parts = [
    {
      program = "net_work";
      only = [
        "what_stays_open"
        "silent_for_long"
        "hundred_megabytes"
        "client_hello"
        "reach_each_other"
        "a_published_port"
      ];
    }
  ];
}
