# The trail tells start and end, an edit is found, and only root reaches it.
{
  name = "audit-chain";
  parts = [
    {
      program = "rig_audit";
      service = true;
    }
    {
      program = "lifecycle";
      only = [ "the_trail" ];
    }
    {
      program = "rig_service";
      only = [ "a_ledger_that_cannot_be_understood" ];
      service = true;
    }
  ];
}
