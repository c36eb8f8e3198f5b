"""The steps of nova-manage in one process each: starting it takes longer than they do.

cells.py CONFIG schema CELL0_URL | cells CELL0_URL CELL1_URL TRANSPORT_URL | hosts
"""
import sys

import nova.cmd  # noqa: F401  it patches what the rest imports
from nova import config
from nova import context
from nova import objects
from nova.cmd import manage


def must(code):
    if code:
        sys.exit('nova-manage answered %s' % code)


def main(conf, step, *args):
    config.parse_args(['nova-manage', '--config-file', conf])
    objects.register_all()
    cells = manage.CellV2Commands()
    if step == 'schema':
        must(manage.ApiDbCommands().sync())
        must(cells.map_cell0(args[0]))
        must(manage.DbCommands().sync())
    elif step == 'cells':
        known = objects.CellMappingList.get_all(context.get_admin_context())
        for mapping in known:
            if mapping.name == 'cell0' and mapping.database_connection != args[0]:
                mapping.database_connection = args[0]
                mapping.save()
        names = {mapping.name for mapping in known}
        if 'cell0' not in names:
            must(cells.map_cell0(args[0]))
        if 'cell1' not in names:
            must(cells.create_cell(name='cell1', database_connection=args[1], transport_url=args[2]))
    elif step == 'hosts':
        must(cells.discover_hosts(by_service=True))


main(*sys.argv[1:])
