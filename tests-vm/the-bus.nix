# A session is an object of its owner's on the bus, and no call crashes the service or gives anybody anything.
{
  name = "the-bus";
  parts = [
    {
      program = "bus_objects";
      service = true;
    }
    {
      program = "bus_fuzz";
      service = true;
    }
  ];
}
