"""A volume backend without data. The metadata of a volume asks for faults:
rig-volume: "fail" (it ends in error), rig-volume-seconds: N, rig-volume-delete: "fail".
"""
import time

from cinder import exception
from cinder.volume import driver


class Disks(driver.VolumeDriver):
    VERSION = '1'

    def _make(self, volume):
        wishes = dict(volume.metadata or {})
        time.sleep(float(wishes.get('rig-volume-seconds', 0)))
        if wishes.get('rig-volume') == 'fail':
            raise exception.VolumeBackendAPIException(data='the rig was asked to fail')

    def check_for_setup_error(self):
        """There is nothing to set up."""

    def create_volume(self, volume):
        self._make(volume)

    def clone_image(self, context, volume, image_location, image_meta, image_service):
        self._make(volume)
        return None, True  # cloned: cinder fetches no bytes of the image

    def delete_volume(self, volume):
        if (volume.metadata or {}).get('rig-volume-delete') == 'fail':
            raise exception.VolumeBackendAPIException(data='the rig was asked to fail')

    def initialize_connection(self, volume, connector, **kwargs):
        return {'driver_volume_type': 'fake', 'data': {'volume_id': volume.id}}

    def terminate_connection(self, volume, connector, **kwargs):
        """Nothing was connected."""

    def create_export(self, context, volume, connector):
        """Nothing is exported."""

    ensure_export = remove_export = lambda self, context, volume: None

    def _update_volume_stats(self):
        self._stats = {
            'volume_backend_name': 'rig', 'vendor_name': 'rig', 'driver_version': self.VERSION, 'storage_protocol': 'fake',
            'pools': [{'pool_name': 'rig', 'total_capacity_gb': 100000, 'free_capacity_gb': 100000, 'reserved_percentage': 0,
                       'provisioned_capacity_gb': 0, 'thin_provisioning_support': False, 'QoS_support': False}],
        }

    def get_volume_stats(self, refresh=False):
        self._update_volume_stats()
        return self._stats
