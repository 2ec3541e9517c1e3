"""Design of a reader study: cases, assignment of readers to arms, power, and the frozen plan."""
