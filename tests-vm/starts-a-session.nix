# A person types `agentboxctl start`: a session runs in a scope of its own, and its streams, status and home are as
# without one.
{
  name = "starts-a-session";
  parts = [
    {
      program = "rig_service";
      only = [
        "a_person_starts_a_session_in_a_scope_of_its_own"
        "the_next_session_gets_the_scope_in_stock"
        "the_service_starts_when_it_is_asked"
      ];
      service = true;
    }
    {
      program = "lifecycle";
      only = [
        "a_session"
        "exec_runs"
        "a_second_program"
        "status_names"
        "stop_ends"
        "explain_starts"
        "a_name_stands"
        "an_interactive_shell"
        "what_is_asked"
        "a_program_that_only"
        "an_embedded_supervisor"
      ];
    }
    { program = "streams"; }
    { program = "home_and_env"; }
  ];
}
