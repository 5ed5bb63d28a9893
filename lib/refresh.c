typedef int ccs_not_written_yet;
