# What is observed of a session is what its policy says, at each posture, however it was started and in each
# mode of its network.
{
  name = "posture-matrix";
  parts = [
    { program = "posture"; }
    { program = "battery_l1"; }
    { program = "net_live"; }
    { program = "net_refused"; }
  ];
}
