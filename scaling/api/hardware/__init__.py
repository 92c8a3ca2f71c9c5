"""Models and devices: costs, feasibility and the published Llamas."""
