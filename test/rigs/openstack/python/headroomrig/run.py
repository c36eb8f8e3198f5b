"""Starts a program of OpenStack from its package: run.py PROGRAM [arguments].

Debian ships the programs in packages that also make users, databases and units;
the rig has the libraries alone.
"""
import importlib
import os
import sys

PROGRAMS = {
    'nova-api': 'nova.cmd.api:main',
    'nova-compute': 'nova.cmd.compute:main',
    'nova-conductor': 'nova.cmd.conductor:main',
    'nova-scheduler': 'nova.cmd.scheduler:main',
    'glance-api': 'glance.cmd.api:main',
    'glance-manage': 'glance.cmd.manage:main',
    'neutron-server': 'neutron.cmd.eventlet.server:main',
    'neutron-db-manage': 'neutron.db.migration.cli:main',
    'cinder-api': 'cinder.cmd.api:main',
    'cinder-scheduler': 'cinder.cmd.scheduler:main',
    'cinder-volume': 'cinder.cmd.volume:main',
    'cinder-manage': 'cinder.cmd.manage:main',
}

if __name__ == '__main__':
    name = sys.argv[1]
    module, function = PROGRAMS[name].split(':')
    sys.argv = [name] + sys.argv[2:]
    module = importlib.import_module(module)
    if name == 'nova-compute':
        # nova loads hypervisors from its own namespace only.
        import nova.virt
        nova.virt.__path__.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.exit(getattr(module, function)())
