"""The parts of the rig that stand for hardware: a hypervisor, disks, a switch."""
