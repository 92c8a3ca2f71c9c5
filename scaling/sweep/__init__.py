"""Many runs: the sweep file, its expansion, its folder and its workers."""
