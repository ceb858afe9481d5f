"""Backend `ascend`: NPUs of Huawei."""
