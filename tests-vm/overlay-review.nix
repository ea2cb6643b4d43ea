# Nothing of an overlay reaches the project before its owner takes it.
{
  name = "overlay-review";
  parts = [
    { program = "overlay_review"; }
    { program = "overlay_attack"; }
  ];
}
