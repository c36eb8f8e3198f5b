package main

import (
	"errors"
	"flag"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// etcd runs a store of one member until SIGTERM. It does not force writes to
// disk: what a rig holds need not survive a power cut.
func etcd(args []string) error {
	flags := flag.NewFlagSet("etcd", flag.ContinueOnError)
	data := flags.String("data", "", "directory of the data")
	clientURL := flags.String("client", "", "URL for clients")
	peerURL := flags.String("peer", "", "URL for peers")
	if err := flags.Parse(args); err != nil {
		return err
	}
	client, err := url.Parse(*clientURL)
	if err != nil {
		return err
	}
	peer, err := url.Parse(*peerURL)
	if err != nil {
		return err
	}
	config := embed.NewConfig()
	config.Name, config.Dir = "rig", *data
	config.LogLevel, config.LogOutputs = "error", []string{"stderr"}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.UnsafeNoFsync = true
	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	defer server.Close()
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, os.Interrupt)
	ready, late := server.Server.ReadyNotify(), time.After(30*time.Second)
	for {
		select {
		case <-ready:
			ready, late = nil, nil
		case <-late:
			return errors.New("etcd was not ready within 30 s")
		case <-asked:
			return nil
		case err := <-server.Err():
			return err
		}
	}
}
