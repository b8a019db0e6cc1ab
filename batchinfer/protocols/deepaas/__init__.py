"""DEEPaaS' REST: a module that is deployed on its own, whose model is loaded once. Pure."""
