// Pricelists makes the price lists of EC2 and Azure that are too long to be
// written by hand, from files of the form that the site ec2instances.info
// publishes (instances.json, azure-instances.json).
//
//	go run ./hack/pricelists aws -from instances.json -date 2025-04-01 -known us-east-1.csv -known-date 2026-07-20
//	go run ./hack/pricelists azure -from azure-instances.json -date 2025-04-01 -known retail.csv
//
// The second source, -known, has lines region,name,price of Linux machines. What
// it contradicts is left out, with all its regions; see
// internal/price/data/README.md for what was used.
package main

import (
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	awsPage     = "https://aws.amazon.com/ec2/pricing/on-demand/"
	azureLinux  = "https://azure.microsoft.com/pricing/details/virtual-machines/linux/"
	azureWindow = "https://azure.microsoft.com/pricing/details/virtual-machines/windows/"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pricelists:", err)
		os.Exit(1) //nolint:forbidigo // it is a command of its own
	}
}

func run(args []string, say io.Writer) error {
	if len(args) == 0 || args[0] != "aws" && args[0] != "azure" {
		return fmt.Errorf("say aws or azure first")
	}
	kind := args[0]
	flags := flag.NewFlagSet(kind, flag.ContinueOnError)
	from := flags.String("from", "", "`file` of ec2instances.info")
	date := flags.String("date", "", "when its prices were read, YYYY-MM-DD")
	knownFile := flags.String("known", "", "`file` of the second source: region,name,price")
	knownDate := flags.String("known-date", "", "write the second source out, as known on this day")
	out := flags.String("out", "internal/price/data", "`folder` of the lists")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if _, err := time.Parse(time.DateOnly, *date); err != nil {
		return fmt.Errorf("-date: %w", err)
	}
	text, err := os.ReadFile(*from) //nolint:gosec // a file that whoever runs it names
	if err != nil {
		return err
	}
	var machines []machine
	if err := json.Unmarshal(text, &machines); err != nil {
		return fmt.Errorf("%s: %w", *from, err)
	}
	known, err := readKnown(*knownFile)
	if err != nil {
		return err
	}
	read, linux, windows := readAWS, awsPage, awsPage
	if kind == "azure" {
		read, linux, windows = readAzure, azureLinux, azureWindow
	}
	prices, fees := read(machines)
	confirmed, contradicted := prices.drop(known)
	if *knownDate != "" {
		file := filepath.Join(*out, kind+".machines-known.sheet.csv")
		if err := known.write(file, header{kind, "machine", "linux", *knownDate, linux}); err != nil {
			return err
		}
		prices.without(known)
	}
	fees.only(prices, known)
	if err := prices.write(filepath.Join(*out, kind+".machines.sheet.csv"), header{kind, "machine", "linux", *date, linux}); err != nil {
		return err
	}
	if err := fees.write(filepath.Join(*out, kind+".windows.sheet.csv"), header{kind, "license", "", *date, windows}); err != nil {
		return err
	}
	fmt.Fprintf(say, "%d prices of machines, %d of licences; the second source confirms %d; contradicted and left out: %v\n",
		prices.figures(), fees.figures(), confirmed, contradicted)
	return nil
}

// readKnown reads the second source.
func readKnown(name string) (table, error) {
	f, err := os.Open(name) //nolint:gosec // a file that whoever runs it names
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.FieldsPerRecord = 3
	records, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t := table{}
	for _, r := range records {
		p, err := strconv.ParseFloat(r[2], 64)
		if err != nil || p <= 0 {
			return nil, fmt.Errorf("%s: %q is no region,name,price", name, r)
		}
		t.set(r[1], r[0], p)
	}
	return t, nil
}
