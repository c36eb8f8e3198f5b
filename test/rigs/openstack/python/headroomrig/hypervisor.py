"""nova's own fake hypervisor, with faults that the metadata of a server asks for.

rig-build: "fail"        the host gives up, the server ends in ERROR
rig-build: "elsewhere"   the host asks for another one; there is none
rig-build: "hang"        the build goes on until the server is deleted
rig-build-seconds: N     the build takes that long
rig-destroy: "fail"      the removal fails, the server ends in ERROR

What a guest would find on its config drive is written to GUESTS/SERVER-ID.json,
and removed with the guest.
"""
import json
import os

import eventlet
from nova import conf
from nova import exception
from nova.virt import fake


def _record(instance):
    return os.path.join(conf.CONF.state_path, 'guests', instance.uuid + '.json')


class Hypervisor(fake.FakeDriver):

    def spawn(self, context, instance, image_meta, injected_files, admin_password, allocations,
              network_info=None, block_device_info=None, power_on=True, accel_info=None):
        wish = instance.metadata.get('rig-build')
        eventlet.sleep(float(instance.metadata.get('rig-build-seconds', 0)))
        if wish == 'fail':
            raise exception.BuildAbortException(instance_uuid=instance.uuid, reason='the rig was asked to fail')
        if wish == 'elsewhere':
            raise exception.ComputeResourcesUnavailable(reason='the rig was asked to refuse')
        while wish == 'hang':
            eventlet.sleep(1)
            instance.refresh()
            if instance.task_state == 'deleting':
                raise exception.BuildAbortException(instance_uuid=instance.uuid, reason='it is being deleted')
        super().spawn(context, instance, image_meta, injected_files, admin_password, allocations,
                      network_info=network_info, block_device_info=block_device_info,
                      power_on=power_on, accel_info=accel_info)
        disks = (block_device_info or {}).get('block_device_mapping', [])
        guest = {
            'id': instance.uuid,
            'name': instance.display_name,
            'user_data': instance.user_data,
            'config_drive': bool(instance.config_drive),
            'key_name': instance.key_name,
            'metadata': dict(instance.metadata),
            'flavor': instance.flavor.name,
            'availability_zone': instance.availability_zone,
            'volumes': [d.get('volume_id') or d['connection_info']['data']['volume_id'] for d in disks],
        }
        partial = _record(instance) + '.part'
        with open(partial, 'w') as f:
            json.dump(guest, f)
        os.rename(partial, _record(instance))

    def destroy(self, context, instance, network_info, block_device_info=None, destroy_disks=True, destroy_secrets=True):
        if instance.metadata.get('rig-destroy') == 'fail':
            raise exception.InternalError('the rig was asked to fail')
        super().destroy(context, instance, network_info, block_device_info=block_device_info,
                        destroy_disks=destroy_disks, destroy_secrets=destroy_secrets)
        if os.path.exists(_record(instance)):
            os.unlink(_record(instance))
